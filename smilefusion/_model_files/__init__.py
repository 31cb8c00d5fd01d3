"""What model files hold, how they are checked, and how models are rebuilt from them."""
