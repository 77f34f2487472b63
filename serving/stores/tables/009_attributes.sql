-- what else the shop says of an item, a flat object in JSON
ALTER TABLE items ADD COLUMN attributes TEXT;
ALTER TABLE item_versions ADD COLUMN attributes TEXT;
