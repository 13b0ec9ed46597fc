"""Where the password of an endpoint comes from: one module per source, and the chain over them."""
