-- what is popular is counted from the newest events; nothing is added to `item_hours` any more
CREATE INDEX events_by_received ON events (received, event_id);
