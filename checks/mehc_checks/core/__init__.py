"""What all else is built from: reasons and findings, errors, redaction, durations, texts; imports nothing of ours."""
