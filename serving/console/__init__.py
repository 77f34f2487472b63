"""The Console at `/console`: pages for people who run the shop, made on the server and in need of no other host."""
