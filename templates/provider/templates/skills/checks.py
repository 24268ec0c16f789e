def archive(name: str = "Greeting", text: str | None = None, folder: str = "") -> Any:
    """An uploaded skill."""
    front = f"---\nname: {name}\ndescription: Says hello.\n---\nSay hello.\n"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as zipped:
        zipped.writestr(f"{folder}SKILL.md", front if text is None else text)
    stream.seek(0)
    return UploadFile(stream, filename="skill.zip")
