"""What an image's layers say: its files, its Pythons, its packages."""
