"""Fields of a config by their paths, as the command line has them."""


def put(holder, path, value):
    """Sets the field at a path: views.visible.pipe.0.p."""
    if isinstance(holder, dict):  # its keys may have points
        name = next(key for key in holder if f"{path}.".startswith(f"{key}."))
    else:
        name = path.partition(".")[0]
    rest = path[len(name) + 1 :]
    if rest and isinstance(holder, dict | tuple):
        put(holder[int(name) if isinstance(holder, tuple) else name], rest, value)
    elif rest:
        put(getattr(holder, name), rest, value)
    elif isinstance(holder, dict):
        holder[name] = value
    else:
        setattr(holder, name, value)
