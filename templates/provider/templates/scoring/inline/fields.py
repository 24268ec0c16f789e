
    answer_column: str = Field(
        default="generated_answer", description="The column of a row that has the answer."
    )
    expected_column: str = Field(
        default="expected_answer", description="The column that has the expected answer."
    )
