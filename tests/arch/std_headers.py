"""Which header of the standard library a name comes from.

Whether <string> brings <cstdint> along differs by library and release: code that leaves it to chance compiles with one
g++ and not with the next.
"""

import re

_ALGORITHMS = ('adjacent_find|all_of|any_of|binary_search|clamp|contains|copy|copy_if|copy_n|count|count_if|equal|fill|fill_n'
               '|find|find_if|find_if_not|for_each|generate|includes|is_sorted|lower_bound|max|max_element|min|min_element'
               '|mismatch|none_of|partition|remove_if|replace|reverse|rotate|search|sort|stable_sort|starts_with|transform'
               '|unique|upper_bound')

# header -> what comes from it. Names that every header of the library brings along (size_t) are not here.
NAMES = {
    'algorithm': rf'std::(ranges::)?({_ALGORITHMS})\s*[({{]',
    'array': r'std::(array|to_array)\b',
    'atomic': r'std::atomic',
    'cerrno': r'\berrno\b|\bE(NOENT|INTR|PERM|ACCES|EXIST|INVAL|AGAIN)\b',
    'charconv': r'std::(to|from)_chars\b',
    'chrono': r'std::chrono\b',
    'csignal': r'std::(signal|raise)\b',
    'cstdint': r'std::u?int(_fast|_least)?(8|16|32|64|max|ptr)_t\b',
    'cstdio': r'std::(f?printf|f?puts|fwrite|fflush|snprintf|perror|fopen|fclose|FILE|rename)\b',
    'cstdlib': r'std::(exit|abort|getenv|free|malloc|strto\w+|_Exit|atexit|quick_exit)\b',
    'cstring': r'std::(mem(cpy|cmp|set|move|chr)|str(len|cmp|ncmp|chr|error|signal|str|nlen))\b',
    'expected': r'std::(expected|unexpected)\b',
    'functional': r'std::(function|hash|greater|less|plus|ref|cref|bind_front|invoke|move_only_function)\b',
    'initializer_list': r'std::initializer_list\b',
    'iterator': r'std::(back_inserter|next|prev|distance|make_move_iterator)\b',
    'limits': r'std::numeric_limits\b',
    'map': r'std::(multi)?map\b',
    'memory': r'std::(unique_ptr|shared_ptr|make_unique|make_shared|weak_ptr|addressof)\b',
    'mutex': r'std::(mutex|lock_guard|unique_lock|scoped_lock|once_flag|call_once)\b',
    'optional': r'std::(optional|nullopt)\b',
    'set': r'std::(multi)?set\b',
    'span': r'std::(span|as_bytes|as_writable_bytes)\b',
    'string': r'std::(string|to_string)\b',
    'string_view': r'std::string_view\b',
    'system_error': r'std::(errc|error_code|generic_category|system_category)\b',
    'thread': r'std::(thread|jthread|this_thread)\b',
    'tuple': r'std::(tuple|tie|make_tuple)\b',
    'type_traits': r'std::(is_\w+_v|remove_cvref_t|decay_t|conditional_t|underlying_type_t|enable_if\w*)\b',
    'utility': r'std::(move|forward|exchange|pair|swap|as_const|make_pair|to_underlying|in_place\w*|cmp_\w+|in_range)\b',
    'variant': r'std::(variant|visit|get_if|holds_alternative|monostate)\b',
    'vector': r'std::vector\b',
}
# C's own name of a header is as good.
ALSO = {'errno.h': 'cerrno', 'stdint.h': 'cstdint', 'stdio.h': 'cstdio', 'stdlib.h': 'cstdlib', 'string.h': 'cstring'}


def missing(text, included):
    """The headers that `text` uses names of, and that are not `included`."""
    code = re.sub(r'//[^\n]*|^\s*#\s*include[^\n]*|"(\\.|[^"\\\n])*"', '', text, flags=re.M)
    there = included | {ALSO.get(name) for name in included}
    return sorted(header for header, pattern in NAMES.items() if header not in there and re.search(pattern, code))
