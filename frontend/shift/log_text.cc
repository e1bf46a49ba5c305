#include "frontend/shift/log_text.h"

#include <array>
#include <optional>
#include <vector>

#include "policy/text.h"
#include "policy/try.h"

namespace userns::shift {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::size_t kMostPieces = 340;  // as many as an id map has lines

constexpr std::array<std::uint32_t, 256> make_crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? crc >> 1 ^ 0xedb88320U : crc >> 1;
    table[i] = crc;
  }
  return table;
}
constexpr auto kCrcTable = make_crc_table();

std::uint32_t crc_of(std::string_view text) {
  std::uint32_t crc = 0xffffffff;
  for (const char c : text)
    crc = crc >> 8 ^ kCrcTable[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  return ~crc;
}

std::string crc_text(std::string_view text) {
  const auto crc = crc_of(text);
  std::string out;
  for (int shift = 28; shift >= 0; shift -= 4) out.push_back(kHex[crc >> shift & 0xf]);
  return out;
}

std::string ended(const std::string& line) { return concat(line, "#", crc_text(line), "\n"); }

std::string to_hex(std::string_view blob) {
  if (blob.empty()) return "-";
  std::string out;
  for (const char c : blob) {
    out.push_back(kHex[static_cast<unsigned char>(c) >> 4]);
    out.push_back(kHex[static_cast<unsigned char>(c) & 0xf]);
  }
  return out;
}

// --- reading ----------------------------------------------------------------------------------

// The next line without its end, nothing where there is no sound one.
std::optional<std::string_view> take_line(std::string_view& rest) {
  constexpr std::size_t kCrc = 9;  // "#" and the digits
  const auto end = rest.find('\n');
  if (end == std::string_view::npos || end < kCrc || rest[end - kCrc] != '#') return std::nullopt;
  const auto line = rest.substr(0, end - kCrc);
  if (rest.substr(end - kCrc + 1, kCrc - 1) != crc_text(line)) return std::nullopt;
  rest.remove_prefix(end + 1);
  return line;
}

// The words of one line, each asked for once; any that is not as expected spoils all.
class Words {
 public:
  explicit Words(std::string_view line) : rest_(line) {}
  std::string_view word() { return take_until(rest_, ' '); }
  std::uint64_t number(std::uint64_t largest = UINT64_MAX) {
    const auto value = parse_decimal(word());
    if (!value || *value > largest) good_ = false;
    return value.value_or(0);
  }
  std::uint32_t id() { return static_cast<std::uint32_t>(number(UINT32_MAX)); }
  std::string blob() {
    const auto text = word();
    std::string bytes;
    if (text == "-") return bytes;
    good_ = good_ && !text.empty() && text.size() % 2 == 0;
    for (std::size_t i = 0; good_ && i < text.size(); i += 2) {
      const auto high = kHex.find(text[i]);
      const auto low = kHex.find(text[i + 1]);
      good_ = high != std::string_view::npos && low != std::string_view::npos;
      if (good_) bytes.push_back(static_cast<char>(high << 4 | low));
    }
    return bytes;
  }
  InodeKey key() {
    InodeKey key;
    key.dev = number();
    key.ino = number();
    return key;
  }
  bool is(std::string_view expected) { return word() == expected; }
  // Whether all was as asked for and nothing is left.
  [[nodiscard]] bool all_good() const { return good_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool good_ = true;
};

std::unexpected<Error> no_log() { return fail({}, "it is not a whole undo log of this program's"); }

struct Maps {
  std::vector<Extent> uids;
  std::vector<Extent> gids;
};

bool take_map(Words words, Maps& maps) {
  const auto kind = words.word();
  const auto from = words.number();
  const auto to = words.number();
  const auto count = words.number();
  const auto piece = Extent::make(from, to, count);
  auto& pieces = kind == "u" ? maps.uids : maps.gids;
  if (!piece || !words.all_good() || (kind != "u" && kind != "g") || pieces.size() == kMostPieces)
    return false;
  pieces.push_back(*piece);
  return true;
}

// The head; returns how many lines of the survey follow.
Result<std::uint64_t> take_head(std::string_view& rest, LogHead& head) {
  const auto first = take_line(rest);
  const auto self = first == "userns-shift 1" ? take_line(rest) : std::nullopt;
  const auto cross = self ? take_line(rest) : std::nullopt;
  if (!cross || (*cross != "cross yes" && *cross != "cross no")) return no_log();
  head.cross_mounts = *cross == "cross yes";
  Words own(*self);
  const bool is_self = own.is("self");
  head.own_uid = own.id();
  head.own_gid = own.id();
  if (!is_self || !own.all_good()) return no_log();
  Maps maps;
  auto line = take_line(rest);
  for (; line && line->starts_with("map "); line = take_line(rest))
    if (!take_map(Words(line->substr(4)), maps)) return no_log();
  auto shift = shift_of_maps(maps.uids, maps.gids);
  if (!line || !shift) return no_log();
  head.shift = std::move(*shift);
  Words root(*line);
  const bool is_root = root.is("root");
  head.root = root.key();
  head.root_born = root.number();
  line = take_line(rest);
  if (!is_root || !root.all_good() || !line) return no_log();
  Words counted(*line);
  const bool is_count = counted.is("count");
  const auto count = counted.number();
  if (!is_count || !counted.all_good()) return no_log();
  return count;
}

bool take_old(Words words, LogContent& log) {
  const auto key = words.key();
  OldState old;
  old.born = words.number();
  old.state.uid = words.id();
  old.state.gid = words.id();
  old.state.mode = words.id();
  old.state.access_acl = words.blob();
  old.state.default_acl = words.blob();
  old.state.capability = words.blob();
  if (words.all_good()) log.old.insert_or_assign(key, std::move(old));
  return words.all_good();
}

bool take_done(Words words, LogContent& log) {
  const auto key = words.key();
  const auto found = log.old.find(key);
  if (!words.all_good() || found == log.old.end()) return false;
  found->second.done = true;
  return true;
}

}  // namespace

Result<LogContent> parse_log(std::string_view text) {
  LogContent log;
  auto rest = text;
  auto surveyed = TRY(take_head(rest, log.head));
  log.sound_bytes = text.size() - rest.size();
  while (!rest.empty()) {
    const auto line = take_line(rest);
    const bool is_old = line && line->starts_with("old ");
    const bool is_done = line && line->starts_with("done ") && surveyed == 0;
    if (!(is_old && take_old(Words(line->substr(4)), log)) &&
        !(is_done && take_done(Words(line->substr(5)), log)))
      break;
    if (surveyed > 0) --surveyed;
    log.sound_bytes = text.size() - rest.size();
  }
  if (surveyed > 0) return no_log();
  return log;
}

std::string print_head(const LogHead& head, std::uint64_t surveyed) {
  std::string text = ended("userns-shift 1");
  text += ended(concat("self ", head.own_uid, " ", head.own_gid));
  text += ended(head.cross_mounts ? "cross yes" : "cross no");
  const auto print_maps = [&](const IdShift& shift, char kind) {
    for (const auto& piece : shift.pieces())
      text += ended(concat("map ", kind, " ", piece.inside().first(), " ", piece.outside().first(),
                           " ", piece.count()));
  };
  print_maps(head.shift.uids, 'u');
  print_maps(head.shift.gids, 'g');
  text += ended(concat("root ", head.root.dev, " ", head.root.ino, " ", head.root_born));
  text += ended(concat("count ", surveyed));
  return text;
}

std::string print_old(const InodeKey& key, const OldState& old) {
  const auto& state = old.state;
  return ended(concat("old ", key.dev, " ", key.ino, " ", old.born, " ", state.uid, " ", state.gid,
                      " ", state.mode, " ", to_hex(state.access_acl), " ",
                      to_hex(state.default_acl), " ", to_hex(state.capability)));
}

std::string print_done(const InodeKey& key) {
  return ended(concat("done ", key.dev, " ", key.ino));
}

}  // namespace userns::shift
