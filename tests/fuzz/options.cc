// userns-run's argv: a sentence that says what is wrong, or a Spec that keeps its promises.
#include "frontend/spec/options.h"

#include "tests/fuzz/property.h"

using namespace userns;
using namespace userns::frontend;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = as_text(data, size);
  const auto words = as_words(text);
  const auto spec = parse_options(words);
  if (!spec) {
    must(!spec.error().text.empty(), "a refusal says why");
    return 0;
  }
  for (const auto& mount : spec->mounts) {
    const auto* const bind = std::get_if<BindWish>(&mount);
    const auto& destination =
        bind != nullptr ? bind->destination : std::get<TmpfsWish>(mount).destination;
    must(destination.starts_with('/'), "a destination is absolute");
  }
  must(!spec->hostname || spec->hostname->size() <= 64, "a host name fits the kernel");
  return 0;
}
