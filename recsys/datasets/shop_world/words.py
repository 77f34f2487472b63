"""The vocabulary of the shop: kinds of products, styles, brands.

Departments and sub-categories go into an item's categories; nouns, style words and the brand into its title and text.
So words carry taste, as they do in a real catalogue; colours and praise carry none.
"""

# department -> sub-category -> (usual price, nouns)
DEPARTMENTS: dict[str, dict[str, tuple[float, tuple[str, ...]]]] = {
    "Kitchen": {
        "Mugs": (9.0, ("mug", "cup", "beaker")),
        "Cookware": (38.0, ("saucepan", "casserole", "frying pan")),
        "Baking": (14.0, ("cake tin", "mixing bowl", "rolling pin")),
        "Storage": (12.0, ("jar", "canister", "bread bin")),
    },
    "Garden": {
        "Planters": (18.0, ("planter", "flower pot", "window box")),
        "Lanterns": (22.0, ("lantern", "garden torch", "string light")),
        "Tools": (16.0, ("trowel", "watering can", "secateurs")),
        "Outdoor Seating": (85.0, ("bench", "deck chair", "hammock")),
    },
    "Living Room": {
        "Cushions": (19.0, ("cushion", "bolster", "pouffe")),
        "Lamps": (46.0, ("table lamp", "floor lamp", "lampshade")),
        "Throws": (34.0, ("throw", "blanket", "rug")),
        "Clocks": (29.0, ("wall clock", "mantel clock", "alarm clock")),
    },
    "Bath": {
        "Towels": (15.0, ("hand towel", "bath towel", "bath mat")),
        "Soaps": (7.0, ("soap bar", "bath salt", "shower gel")),
        "Mirrors": (42.0, ("mirror", "shaving mirror", "mirror cabinet")),
        "Baskets": (21.0, ("laundry basket", "bath caddy", "hamper")),
    },
    "Stationery": {
        "Notebooks": (8.0, ("notebook", "journal", "sketchbook")),
        "Pens": (11.0, ("fountain pen", "pencil set", "marker set")),
        "Cards": (4.0, ("greeting card", "postcard set", "gift tag")),
        "Desk": (24.0, ("desk tray", "pen pot", "letter rack")),
    },
    "Toys": {
        "Puzzles": (13.0, ("jigsaw", "puzzle box", "brain teaser")),
        "Plush": (17.0, ("teddy", "plush rabbit", "hand puppet")),
        "Board Games": (28.0, ("board game", "card game", "domino set")),
        "Building Sets": (36.0, ("block set", "train set", "marble run")),
    },
    "Fashion": {
        "Bags": (39.0, ("tote bag", "satchel", "backpack")),
        "Scarves": (23.0, ("scarf", "shawl", "bandana")),
        "Jewellery": (31.0, ("necklace", "bracelet", "brooch")),
        "Hats": (20.0, ("beanie", "sun hat", "flat cap")),
    },
    "Party": {
        "Candles": (10.0, ("candle", "tealight set", "candle holder")),
        "Garlands": (9.0, ("garland", "bunting", "paper chain")),
        "Tableware": (12.0, ("napkin set", "paper plate set", "cake stand")),
        "Gift Wrap": (5.0, ("wrapping paper", "ribbon", "gift box")),
    },
}

# style -> (words, brands)
STYLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "vintage": (
        ("vintage", "retro", "enamelled", "nostalgic", "antique", "distressed"),
        ("Harrow & Finch", "Old Mill", "Tinsmith", "Penny Lane"),
    ),
    "nordic": (
        ("nordic", "minimal", "birch", "hygge", "plain", "pale oak"),
        ("Fjellhus", "Nordlys", "Skog", "Hvit"),
    ),
    "botanical": (
        ("botanical", "floral", "leafy", "meadow", "herbal", "fern print"),
        ("Greenhouse 9", "Petal & Stem", "Wildwood", "Clover"),
    ),
    "coastal": (
        ("coastal", "nautical", "driftwood", "sailcloth", "seashell", "harbour"),
        ("Saltbox", "North Pier", "Tidewater", "Gull & Anchor"),
    ),
    "industrial": (
        ("industrial", "riveted", "raw steel", "concrete", "loft", "wire mesh"),
        ("Foundry 12", "Girder", "Boltworks", "Kessel"),
    ),
    "playful": (
        ("playful", "polka dot", "rainbow", "cartoon", "confetti", "cheerful"),
        ("Jellybean", "Hopscotch", "Pogo", "Bright Side"),
    ),
    "rustic": (
        ("rustic", "farmhouse", "wicker", "hand-carved", "homespun", "burlap"),
        ("Barn Owl", "Hearthstone", "Oxbow", "Millbrook"),
    ),
    "luxe": (
        ("luxe", "velvet", "gilded", "marble", "crystal", "satin"),
        ("Maison Aurel", "Belgrave", "Opaline", "Ninth Avenue"),
    ),
}

COLOURS = ("red", "blue", "green", "white", "black", "yellow", "grey", "pink", "natural", "teal")

PRAISE = (
    "A gift that is always welcome.",
    "Made to last.",
    "Goes well with the rest of the range.",
    "Our customers come back for it.",
    "Ships in recycled packaging.",
    "Limited quantity.",
)
