    async def register_toolgroup(self, toolgroup: api.ToolGroup) -> None:
        """Accept a tool group of the configuration; raise ValueError for one you do not have."""

    async def unregister_toolgroup(self, toolgroup_id: str) -> None:
        """Forget a tool group."""

    async def list_runtime_tools(
        self,
        tool_group_id: str | None = None,
        mcp_endpoint: api.URL | None = None,
        authorization: str | None = None,
    ) -> api.ListToolDefsResponse:
        """Return the tools, with the parameters that a model fills in."""
        tool = api.ToolDef(name=TOOL, description=self.config.description, input_schema=SCHEMA)
        return api.ListToolDefsResponse(data=[tool])
