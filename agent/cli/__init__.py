"""The commands. Nothing heavy is imported before a command runs: `--help` stays instant."""
