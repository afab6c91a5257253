"""The OpenAPI document, and the page that is made from it: what routes do, told once."""
