"""What a user would pick instead, each optional: `peer_list` lists those that make maps, `scoring` scores them."""
