"""Where the files of cases are kept: an S3 endpoint, or JetStream's Object Store where none is configured."""

from shared.artifacts.store import ArtifactStore, ObjectStore, S3Store, artifact_key, open_store

__all__ = ["ArtifactStore", "ObjectStore", "S3Store", "artifact_key", "open_store"]
