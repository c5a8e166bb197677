"""Nothing leaves the machine unless a recipe or a command says so.

The environment variables by which the libraries in use are told to send no telemetry and to keep
their progress bars to themselves, and Arrow to give back what memory it no longer uses; and those
that hold secrets and are blanked in every process that runs a model or a verifier.
"""

QUIET = {
    # Its own allocator keeps what it once had, and more of it the longer it works. Read once, when
    # pyarrow is imported: some of what Arrow does takes no other pool (writing a stream).
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TOKENIZERS_PARALLELISM": "false",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
}

SECRETS = {"HF_TOKEN": "", "HUGGING_FACE_HUB_TOKEN": ""}
