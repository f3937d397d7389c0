# Pure code that the core and several plugins need.  A convenience library
# each, so that a plugin takes only what it uses.
