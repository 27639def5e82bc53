"""Tables, sentences and pictures of all commands."""
