// nsswitch.conf: the source is the first word of the first line that has one, and a word that can
// go into a file name.
#include "policy/subid.h"
#include "policy/text.h"
#include "tests/fuzz/property.h"

using namespace userns;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = as_text(data, size);
  const auto source = nss_subid_source(text);
  must(!source.empty(), "a source always has a name");
  must(source.find_first_of(" \t\r\f\v\n#") == std::string_view::npos, "it is one word");
  must(source == "files" || text.contains(source), "it is written there");
  must(nss_subid_source(concat("passwd: subid\n# subid: x\n", text)) == source,
       "other lines say nothing of it");
  must(source == "files" || nss_subid_source(concat(text, "\nsubid: later\n")) == source,
       "the first line decides");
  return 0;
}
