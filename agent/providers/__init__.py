"""Where requests are completed. One module per dialect; each imports its library when used."""
