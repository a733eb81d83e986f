"""What GradMAP is compared with: other ways to learn, on the same environment and the same days."""
