"""The command line of the runtime: arguments, commands, the start of the zipapp."""
