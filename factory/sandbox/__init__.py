"""Where heavy and untrusted checks execute."""
