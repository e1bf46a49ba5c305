// The kernel's netlink answers, cut and forged anywhere: nothing is read beyond them, and names
// hold no NUL.
#include "common/netlink.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "tests/fuzz/property.h"

using namespace userns;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // A buffer of exactly this size, so that the sanitizer sees one byte too many.
  std::vector<char> datagram(size);
  if (size > 0) std::memcpy(datagram.data(), data, size);
  std::size_t messages = 0, links = 0;
  const auto each = [&](const nlmsghdr& message) {
    ++messages;
    const Link link(message);
    links += link.index != 0 ? 1 : 0;
    for (const auto* text : {&link.name, &link.kind})
      must(!text->contains('\0'), "a text ends at its NUL");
    must(link.name.size() <= size && link.address.size() <= size,
         "nothing is longer than the message");
    must(!link.filters_vlans || link.kind == "bridge", "only a bridge filters VLANs");
  };
  const auto ended = Netlink::take({datagram.data(), size}, 7, each);
  must(messages >= links && messages <= size / sizeof(nlmsghdr),
       "no more messages than there is room for");
  if (!ended) {
    must(ended.error().code != 0, "a refusal has the kernel's code");
    must(std::ranges::all_of(ended.error().text, [](char c) { return c >= 0x20 && c < 0x7f; }),
         "its words are printable");
  }
  return 0;
}
