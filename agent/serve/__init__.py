"""The engine worker: one model behind an OpenAI-compatible HTTP app on a Unix socket."""
