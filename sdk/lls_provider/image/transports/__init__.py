"""Where images are read from and written to: layouts, archives, daemons, registries."""
