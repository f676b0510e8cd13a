"""The API, a module for each kind of object; importing one registers its routes."""
