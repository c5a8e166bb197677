"""Programming problems with right and wrong replies, and the script that writes them."""
