"""What is installed, and what one probe run has at hand."""
