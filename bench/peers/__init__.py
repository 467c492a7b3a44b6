"""What a user would pick instead, each optional: `catalogue` lists those that make maps, `scoring` scores them."""
