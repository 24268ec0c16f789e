TOOL = "web_search"  # the name under which the responses API of the servers runs a search
SCHEMA = {
    "type": "object",
    "properties": {"query": {"type": "string", "description": "What to search for."}},
    "required": ["query"],
}
