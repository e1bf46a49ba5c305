// Which bridges an administrator opens to whom: the text format of net.conf(5), a superset of
// lxc-usernet(5).
//
//   line    = who blanks "veth" blanks bridge blanks count { blanks setting } ;  (* conf_line.h *)
//   who     = "*" | "@" group-name | login-name | decimal-uid ;
//   setting = "mtu=" decimal | "vlan=" decimal | "isolated=" ( "yes" | "no" )
//           | "spoof=" ( "allow" | "deny" ) | "mac=" ( "any" | "own" )
//           | "ip=" block [ "," block ]             (* one of each family *)
//           | "gateway=" net [ "," net ] | "dns=" address { "," address }
//           | "guard=" ( "yes" | "no" ) | "group=" decimal | "rate=" decimal ( "k" | "m" | "g" )
//           "bit" | "tagged=" decimal { "," decimal } | "macs=" decimal
//           | "salt=" word ;                      (* 1 to 64 of what is_plain_word() takes *)
//   block   = address [ "/" decimal ] ;             (* begins where its length says *)
//   net     = address [ "/" decimal ] ;             (* an address in a network of that length *)
//
// One malformed line refuses the file (NC-LINE): a half-read policy is not what was written.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "policy/error.h"
#include "policy/ip_net.h"

namespace userns {

// The kernel's BR_MAX_PORTS less one: more can't be on a bridge, whatever a line says.
inline constexpr std::uint32_t kMostPorts = 1023;
inline constexpr std::uint16_t kMostMacs = 15;  // NetGrant::mac() has room for no more

// How a NIC that a line grants is set up.
struct NetTerms {
  std::uint16_t mtu = 0;   // inside; 0: the bridge's
  std::uint16_t vlan = 0;  // 0: the bridge's default
  bool isolated = false;   // can't talk to other isolated ports
  bool spoof = false;      // may send from any MAC address
  bool any_mac = false;    // the caller may choose the MAC address
  // Tells the MAC addresses of this host from those of one with the same machine-id. A view into
  // the file's text.
  std::string_view salt;
  // One address of each block goes with a NIC, at the same place in both; IPv4 first.
  std::vector<IpNet> blocks, gateways, dns;
  [[nodiscard]] std::uint32_t addresses() const;  // places in the blocks; 0: no addresses
  // What userns-policy's guard does for its ports, which it tells apart by their group.
  enum class Guard : std::uint8_t { kAsNeeded, kYes, kNo } guard = Guard::kAsNeeded;
  std::uint32_t group = 0;            // of the host end; 0: see port_group()
  std::uint64_t rate = 0;             // bytes a second, each way; 0: as many as there are
  std::vector<std::uint16_t> tagged;  // VLANs whose frames have tags on the port
  std::uint16_t macs = 0;             // MAC addresses beside its own
  [[nodiscard]] bool needs_guard() const;
  [[nodiscard]] std::uint32_t port_group() const;
  friend bool operator==(const NetTerms&, const NetTerms&) = default;
};
inline constexpr std::string_view kGuardTable = "userns_guard";  // of nftables' family bridge
// The groups of ports that the guard leaves alone, and of those that may send from any MAC address.
inline constexpr std::uint32_t kUnguardedGroup = 30062, kSpoofingGroup = 30063;

// One line. The views are into the file's text.
struct NetLine {
  std::string_view who;  // as written
  std::string_view bridge;
  std::uint32_t count = 0;  // NICs per user, at most kMostPorts
  NetTerms terms;
  // A count of 0 bans whom the line names, whatever other lines give. For everybody it gives
  // nothing.
  [[nodiscard]] bool bans() const { return count == 0 && who != "*"; }
};

// Puts the lines of one file of the policy behind those of the files before it. `path` only for
// messages: "PATH:LINE:COLUMN: what is wrong".
Result<void> add_net_conf(std::vector<NetLine>& lines, std::string_view path,
                          std::string_view text);
Result<std::vector<NetLine>> parse_net_conf(std::string_view path, std::string_view text);

// What we take as an interface name: letters, digits, "-", "_", ".", at most 15, not beginning with
// "-" or ".". Stricter than the kernel, which would take terminal control characters, and "eth%d"
// as a template.
bool is_interface_name(std::string_view text);

}  // namespace userns
