"""Nothing leaves the machine unless a recipe or a command says so.

The environment variables by which the libraries in use are told to send no telemetry and to keep
their progress bars to themselves, and those that hold secrets and are blanked in every process
that runs a model or a verifier.
"""

QUIET = {
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
