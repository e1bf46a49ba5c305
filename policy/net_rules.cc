#include "policy/net_rules.h"

#include <algorithm>
#include <charconv>
#include <concepts>
#include <functional>
#include <ranges>
#include <system_error>
#include <utility>

#include "policy/rules.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns {
namespace {

constexpr std::string_view kDigits =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::size_t kWideId = 6, kWideSlot = 2;  // 62^6 > 2^32, 62^2 > kMostPorts

std::uint64_t fnv1a(std::string_view text, std::uint64_t hash = 0xcbf29ce484222325) {
  for (const char c : text) hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001b3;
  return hash;
}
// FNV's last bytes barely reach the high bits; this spreads them (the finalizer of splitmix64).
std::uint64_t spread(std::uint64_t x) {
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111eb;
  return x ^ (x >> 31U);
}

std::string base62(std::uint64_t value, std::size_t width) {
  std::string out(width, '0');
  for (; width > 0; value /= kDigits.size())
    out[--width] = kDigits[static_cast<std::size_t>(value % kDigits.size())];
  return out;
}
std::uint64_t from_base62(std::string_view text) {
  std::uint64_t value = 0;
  for (const char c : text) value = value * kDigits.size() + kDigits.find(c);
  return value;
}

constexpr std::string_view kUsage =
    "usage: userns-net add --netns fd:N|pidfd:N|pid:N --bridge BR [--name IFNAME] [--mac MAC] "
    "[--container NAME] | del HOSTIF; lxc-user-nic lists them";

Result<void> check_words(const NetRequest& request) {
  if (!request.name.empty() && !is_interface_name(request.name))
    return fail("NR-NAME", concat(quoted(request.name),
                                  " is not an interface name that is taken: 1 to 15 "
                                  "letters, digits, '-', '_' and '.'"));
  if (request.verb == NetRequest::Verb::kAdd && !is_interface_name(request.bridge))
    return fail("NR-NAME", concat(quoted(request.bridge), " is not a name of a bridge"));
  if (!is_plain_word(request.container, 64))
    return fail("NR-NAME", concat(quoted(request.container),
                                  " is not a name of a container that is taken: at most 64 "
                                  "letters, digits, '-', '_' and '.'"));
  return {};
}

// Options come in pairs; each once.
Result<NetRequest> parse_add(std::span<const std::string_view> words) {
  std::string_view netns, mac;
  NetRequest request;
  const std::pair<std::string_view, std::string_view*> options[] = {
      {"--netns", &netns},
      {"--bridge", &request.bridge},
      {"--name", &request.name},
      {"--mac", &mac},
      {"--container", &request.container}};
  for (; words.size() >= 2; words = words.subspan(2)) {
    const auto* const option =
        std::ranges::find(options, words[0], [](const auto& o) { return o.first; });
    if (option == std::end(options) || !option->second->empty() || words[1].empty())
      return fail("NR-ARGS",
                  concat(quoted(words[0]), " is unknown, empty or given twice; ", kUsage));
    *option->second = words[1];
  }
  if (!words.empty() || netns.empty() || request.bridge.empty())
    return fail("NR-ARGS", std::string(kUsage));
  request.netns = TRY(parse_netns(netns));
  if (mac.empty()) return request;
  request.mac = TRY(Mac::parse(mac));
  return request;
}

Result<NetRequest> parse_words(std::span<const std::string_view> words) {
  const auto verb = words.empty() ? std::string_view{} : words[0];
  if (verb == "add") return parse_add(words.subspan(1));
  if (verb != "del" || words.size() != 2 || words[1].empty())
    return fail("NR-ARGS", std::string(kUsage));
  NetRequest request;
  request.verb = NetRequest::Verb::kDelete, request.name = words[1];
  return request;
}

Objection ours(const NetFacts& f, const NetRequest& /*r*/) {
  if (!f.netns_is_ours) return {};
  return "the target is the network namespace that this program runs in: give one of your own";
}
Objection not_ones_own(const NetFacts& f, const NetRequest& /*r*/) {
  if (f.netns_owner == f.caller) return {};
  return concat("the network namespace belongs to uid ", f.netns_owner.value(),
                ", not to the caller (uid ", f.caller.value(),
                "): make it inside a user namespace of your own");
}
Objection not_granted(const NetFacts& f, const NetRequest& r) {
  if (std::ranges::any_of(f.lines, &NetLine::bans))
    return concat("a line of net.conf with a count of 0 bans uid ", f.caller.value(), " from ",
                  r.bridge, ": ask the administrator");
  if (std::ranges::any_of(f.lines, &NetLine::count)) return {};
  return concat("no line of net.conf gives uid ", f.caller.value(), " a NIC on ", r.bridge,
                ": ask the administrator for one");
}
Objection no_bridge(const NetFacts& f, const NetRequest& r) {
  if (!f.bridge) return concat("interface ", r.bridge, " does not exist");
  if (!f.bridge->is_bridge) return concat("interface ", r.bridge, " is not a bridge");
  if (!f.bridge->up) return concat("interface ", r.bridge, " is down: ip link set it up");
  return {};
}

// Terms of the caller's that the rule is against.
bool any_terms(const NetFacts& f, const std::predicate<NetTerms> auto& against) {
  return std::ranges::any_of(f.lines, [&](const NetLine& line) {
    return line.count > 0 && std::invoke(against, line.terms);
  });
}
Objection no_vlans(const NetFacts& f, const NetRequest& r) {
  const auto has_vlans = [](const NetTerms& t) { return t.vlan != 0 || !t.tagged.empty(); };
  if (f.bridge->filters_vlans || !any_terms(f, has_vlans)) return {};
  return concat("net.conf sets vlan= or tagged= for ", r.bridge,
                ", which does not filter VLANs: ip link set it to vlan_filtering 1");
}
Objection mtu_too_large(const NetFacts& f, const NetRequest& r) {
  if (!any_terms(f, [&](const NetTerms& t) { return t.mtu > f.bridge->mtu; })) return {};
  return concat("net.conf sets mtu= for ", r.bridge, " above the bridge's own ", f.bridge->mtu);
}
Objection mac_not_free(const NetFacts& f, const NetRequest& r) {
  if (r.mac && r.mac->is_of_address())
    return concat(r.mac->text(), " belongs to an IP address: choose another");
  if (!r.mac || !any_terms(f, [](const NetTerms& t) { return !t.any_mac && !t.spoof; })) return {};
  return concat(
      "net.conf lets nobody choose a MAC address here: leave --mac out, or ask for mac=any on ",
      r.bridge);
}

Objection no_guard(const NetFacts& f, const NetRequest& r) {
  if (f.has_guard || !any_terms(f, &NetTerms::needs_guard)) return {};
  return concat("net.conf wants ports on ", r.bridge,
                " guarded, and the guard is not loaded: ask the administrator to run "
                "userns-policy guard --apply, or to write guard=no");
}

constexpr Rule<NetFacts, NetRequest> kRules[] = {
    {"NR-HOST", ours},        {"NR-OWNER", not_ones_own}, {"NR-POLICY", not_granted},
    {"NR-BRIDGE", no_bridge}, {"NR-VLAN", no_vlans},      {"NR-MTU", mtu_too_large},
    {"NR-MAC", mac_not_free}, {"NR-GUARD", no_guard}};

}  // namespace

Result<Mac> Mac::parse(std::string_view text) {
  Mac mac;
  const auto whole = text;
  for (auto& byte : mac.bytes) {
    const auto pair = take_until(text, ':');
    const auto end = std::from_chars(pair.data(), pair.data() + pair.size(), byte, 16);
    if (pair.size() != 2 || end.ec != std::errc{} || end.ptr != pair.data() + 2)
      return fail("NR-MAC",
                  concat(quoted(whole), " is not a MAC address of the form 02:00:5e:10:00:ff"));
  }
  if (!text.empty() || whole.size() != 17 || (mac.bytes[0] & 1U) != 0 || mac == Mac{})
    return fail("NR-MAC", concat(quoted(whole), " is not an address of a single interface"));
  return mac;
}

std::string Mac::text() const {
  std::string out;
  for (const auto byte : bytes)
    out += {"0123456789abcdef"[byte >> 4U], "0123456789abcdef"[byte & 15U], ':'};
  out.pop_back();
  return out;
}

Mac Mac::of_address(const NetTerms& terms, std::uint32_t place) {
  const auto& block = terms.blocks.front();
  const auto one = block.at(place).bytes;
  std::uint64_t last = 0;
  for (std::size_t i = 12; i < one.size(); ++i) last = last << 8U | one.at(i);
  const std::string_view whole(reinterpret_cast<const char*>(one.data()), one.size());
  const auto bits = block.is_v4() ? last : spread(fnv1a(whole));
  Mac mac{{0x56, static_cast<std::uint8_t>(block.is_v4() ? 0x75 : 0x74)}};
  for (unsigned i = 0; i < 4; ++i)
    mac.bytes.at(2 + i) = static_cast<std::uint8_t>(bits >> (8 * (3 - i)));
  return mac;
}

bool Mac::is_of_address() const { return bytes[0] == 0x56 && (bytes[1] | 1U) == 0x75; }

Result<NetRequest> parse_net_request(std::span<const std::string_view> words) {
  const auto request = TRY(parse_words(words));
  TRY(check_words(request));
  return request;
}

std::uint32_t bridge_number(std::string_view name) {
  return static_cast<std::uint32_t>(spread(fnv1a(name)));
}

std::string Slot::name() const {
  return concat("u", base62(owner.value(), kWideId), base62(bridge, kWideId),
                base62(number, kWideSlot));
}

std::optional<Slot> Slot::from_name(std::string_view name) {
  if (name.size() != 1 + 2 * kWideId + kWideSlot || name[0] != 'u' ||
      name.find_first_not_of(kDigits) != std::string_view::npos)
    return std::nullopt;
  const auto owner = from_base62(name.substr(1, kWideId)),
             bridge = from_base62(name.substr(1 + kWideId, kWideId));
  const Slot slot{Uid{static_cast<std::uint32_t>(owner)}, static_cast<std::uint32_t>(bridge),
                  static_cast<std::uint32_t>(from_base62(name.substr(1 + 2 * kWideId)))};
  return owner <= kLargestId && slot.name() == name ? std::optional(slot) : std::nullopt;
}

Result<void> may_delete(std::string_view name, std::string_view kind, Uid caller) {
  const auto slot = Slot::from_name(name);
  const bool is_nic = slot && (kind.empty() || kind == "veth");
  if (is_nic && (slot->owner == caller || caller == Uid{0})) return {};
  return fail("NR-DEL", concat("no NIC of uid ", caller.value(), " has the host end ", name,
                               ": lxc-user-nic list shows them"));
}

Result<NetGrant> decide(const NetFacts& facts, const NetRequest& request) {
  const auto judged = judge(kRules, facts, request);
  return judged ? Result<NetGrant>(NetGrant(facts, request)) : std::unexpected(judged.error());
}

std::vector<std::uint32_t> NetGrant::slots_to_try(
    const std::function<bool(std::uint32_t)>& taken) const {
  std::vector<std::uint32_t> order;
  for (const auto& line : facts_.lines) {
    const auto first = static_cast<std::uint32_t>(order.size());
    const std::ranges::iota_view slots(first, std::min(first + line.count, kMostPorts));
    const auto likely = std::ranges::partition_point(slots, taken);
    order.insert(order.end(), likely, slots.end());
    order.insert(order.end(), slots.begin(), likely);
  }
  return order;
}

const NetTerms& NetGrant::terms(std::uint32_t slot) const {
  const auto* line = facts_.lines.data();
  for (; slot >= line->count; ++line) slot -= line->count;
  return line->terms;
}

// Of what a NIC is told by; a container without a name goes by its slot.
std::uint64_t NetGrant::hash(std::string_view name, std::uint32_t slot) const {
  if (request_.container.empty()) return slot;
  return spread(fnv1a(concat(request_.bridge, "/", request_.container, "/", name)));
}

std::uint32_t NetGrant::place(std::string_view name, std::uint32_t slot, std::uint32_t turn) const {
  // An odd step leads through all places, of which there is a power of two.
  const auto start = spread(hash(name, slot) ^ spread(facts_.caller.value()));
  const auto step = static_cast<std::uint32_t>(start >> 32U) | 1U;
  return (static_cast<std::uint32_t>(start) + turn * step) % terms(slot).addresses();
}

std::vector<IpNet> NetGrant::addresses(std::uint32_t slot, std::uint32_t place) const {
  std::vector<IpNet> found;
  for (const auto& block : terms(slot).blocks) {
    auto one = block.at(place);
    one.prefix = block.prefix;
    for (const auto* list : {&terms(slot).dns, &bridge().addresses, &terms(slot).gateways})
      for (const auto& other : *list) {
        if (other.bytes == one.bytes) return {};
        if (other.prefix < IpNet{}.prefix && other.holds(one)) one.prefix = other.prefix;
      }
    if (one.is_reserved()) return {};
    found.push_back(one);
  }
  return found;
}

Mac NetGrant::mac(std::string_view host, std::string_view name, std::uint32_t slot,
                  std::uint32_t salt) const {
  // 46 bits: the uid, and 14 for the rest; turned by a number of the host's, so that two hosts on
  // one LAN do not meet.
  const auto bits =
      (std::uint64_t{facts_.caller.value()} << 14U | ((hash(name, slot) + salt) & 0x3fffU)) ^
      spread(fnv1a(terms(slot).salt, fnv1a(host)));
  Mac mac;
  for (unsigned i = 0; i < 6; ++i) mac.bytes[i] = static_cast<std::uint8_t>(bits >> (8 * (5 - i)));
  mac.bytes[0] = static_cast<std::uint8_t>(((bits >> 40U) & 0x3fU) << 2U | 2U);
  if (mac.is_of_address()) mac.bytes[1] ^= 2U;
  return mac;
}

}  // namespace userns
