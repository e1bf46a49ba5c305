// May this caller have a NIC on this bridge in this network namespace? The rules of userns-net.
//
// Pure: facts in, a grant or a refusal out. Rules and their meaning: userns-net(8), SECURITY.md.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "policy/error.h"
#include "policy/ids.h"
#include "policy/net_conf.h"
#include "policy/target.h"

namespace userns {

struct Mac {
  std::array<std::uint8_t, 6> bytes{};
  // "02:00:5e:10:00:ff"; unicast and not zero, or nothing (NR-MAC).
  static Result<Mac> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
  // That of the NIC with address number `place` of a line: 56:75 and its IPv4 address, else 56:74
  // and a hash of its IPv6 address. It is computable, so that a packet filter that was made before
  // the NIC knows it. No other NIC has one that begins so.
  static Mac of_address(const NetTerms& terms, std::uint32_t place);
  [[nodiscard]] bool is_of_address() const;
  friend bool operator==(const Mac&, const Mac&) = default;
};

struct NetRequest {
  enum class Verb : std::uint8_t { kAdd, kDelete } verb = Verb::kAdd;
  Target netns;
  std::string_view bridge;
  std::string_view name;  // inside (add; empty: the first free of eth0, eth1 ...), or of the host
                          // end (delete)
  std::string_view container;  // may be empty
  std::optional<Mac> mac;
};
// The words of userns-net(8): NR-ARGS, NR-NAME, NR-MAC, NR-TARGET.
Result<NetRequest> parse_net_request(std::span<const std::string_view> words);

// A bridge's name as a number: a port counts against its owner's quota also while its bridge is
// gone or was made anew, which the bridge's index would not do.
std::uint32_t bridge_number(std::string_view name);

// The name of a host end says whose it is: owner, bridge and slot, in a fixed width of base 62.
// With NLM_F_EXCL it makes the kernel keep the count of quotas: no slot can be taken twice.
struct Slot {
  Uid owner{0};
  std::uint32_t bridge = 0;  // bridge_number() of its name
  std::uint32_t number = 0;  // < kMostPorts

  [[nodiscard]] std::string name() const;
  static std::optional<Slot> from_name(std::string_view name);
};

// NR-DEL: the name of a host end, and its owner the caller, unless that is root. `kind` is what it
// is to the kernel; empty: gone already, which is well.
Result<void> may_delete(std::string_view name, std::string_view kind, Uid caller);

struct BridgeFacts {
  std::uint32_t index = 0;
  bool is_bridge = false, up = false, filters_vlans = false;
  std::uint32_t mtu = 0;
  std::vector<IpNet> addresses;  // its own, with their networks
};

// Everything that is judged.
struct NetFacts {
  Uid caller{0};
  bool netns_is_ours = false;  // the one that this program runs in
  Uid netns_owner{0};  // of the user namespace, below ours, that the network namespace belongs to
  std::optional<BridgeFacts> bridge;
  bool has_guard = false;      // the table of userns-policy's guard is loaded
  std::vector<NetLine> lines;  // those that speak of the caller and the bridge, in the file's order
};

class NetGrant;
Result<NetGrant> decide(const NetFacts& facts, const NetRequest& request);

// Proof that decide() said yes.
class NetGrant {
 public:
  [[nodiscard]] const NetRequest& request() const { return request_; }
  [[nodiscard]] const BridgeFacts& bridge() const { return *facts_.bridge; }
  // The caller's slots on the bridge: lines one after the other, each with its own terms.
  // In the order to try: those of a line from its likely first free one on, round to the one
  // before. Where they were taken in order that is the first free one, and `taken` is asked a few
  // times instead of for each.
  [[nodiscard]] std::vector<std::uint32_t> slots_to_try(
      const std::function<bool(std::uint32_t)>& taken) const;
  [[nodiscard]] const NetTerms& terms(std::uint32_t slot) const;
  [[nodiscard]] Slot slot(std::uint32_t number) const {
    return {facts_.caller, bridge_number(request_.bridge), number};
  }
  // Which place of its line's blocks a NIC takes: as try number `turn` has it, of as many as the
  // line has places. The first is the same for the same (user, container, bridge, `name`).
  [[nodiscard]] std::uint32_t place(std::string_view name, std::uint32_t slot,
                                    std::uint32_t turn) const;
  // The addresses there, with the lengths of their networks: a gateway's or the bridge's, else
  // their block's. None where one is a network's own, a gateway's, a name server's or the bridge's.
  [[nodiscard]] std::vector<IpNet> addresses(std::uint32_t slot, std::uint32_t place) const;
  // Stable for (host, user, bridge, container, `name`); a container without a name goes by its
  // slot. The owner's uid is in it, so no choice of names makes another user's. `salt`: another
  // one, where that is in use.
  [[nodiscard]] Mac mac(std::string_view host, std::string_view name, std::uint32_t slot,
                        std::uint32_t salt) const;

 private:
  [[nodiscard]] std::uint64_t hash(std::string_view name, std::uint32_t slot) const;
  NetGrant(NetFacts facts, NetRequest request) : facts_(std::move(facts)), request_(request) {}
  friend Result<NetGrant> decide(const NetFacts& facts, const NetRequest& request);
  NetFacts facts_;
  NetRequest request_;
};

}  // namespace userns
