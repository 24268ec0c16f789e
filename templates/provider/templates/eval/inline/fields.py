
    input_column: str = Field(
        default="chat_completion_input", description="The column of a row that has the question."
    )
    expected_column: str = Field(
        default="expected_answer", description="The column that has the expected answer."
    )
    at_once: int = Field(default=4, gt=0, description="How many questions are asked at once.")
    timeout: float = Field(default=60.0, gt=0, description="The seconds that one answer may take.")
