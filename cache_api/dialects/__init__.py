"""Each file a dialect with the same functions: parse a body, tape what arrives, replay an answer, say an error."""
