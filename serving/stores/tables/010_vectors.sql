-- a vector that the item brings along: the bytes of its float32 numbers, little-endian
ALTER TABLE items ADD COLUMN vector BYTEA;
ALTER TABLE item_versions ADD COLUMN vector BYTEA;
