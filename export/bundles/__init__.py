"""What a bundle is: its files, its graph, its constants."""
