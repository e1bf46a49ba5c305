"""Names that a Python program uses and never gets: a case that needs one fails, or cannot skip, only where it is run."""

import builtins
import symtable

MODULE_OWN = {'__file__', '__name__', '__doc__'}


def tables(table):
    yield table
    for child in table.get_children():
        yield from tables(child)


def unbound(text, name='text'):
    """Global names, in order, that nothing of the text makes."""
    top = symtable.symtable(text, name, 'exec')
    made, used = set(MODULE_OWN), set()
    for table in tables(top):
        for symbol in table.get_symbols():
            if not (table is top or symbol.is_global()):
                continue
            if symbol.is_assigned() or symbol.is_imported():
                made.add(symbol.get_name())
            if symbol.is_referenced():
                used.add(symbol.get_name())
    return sorted(name for name in used - made if not hasattr(builtins, name))
