"""The vocabulary: paths, names, documents with positions, schemas and their complaints."""
