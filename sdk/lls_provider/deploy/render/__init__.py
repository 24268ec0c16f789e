"""A provider file as manifests: of Kubernetes, of the specification, of the released operators."""
