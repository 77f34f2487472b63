"""Makes a product of this repository: `recsys init`, and copier, which brings later versions to the product."""
