// A container's config file: a sentence that says where what is wrong, or settings that come back
// from what is printed.
#include "frontend/spec/config_file.h"

#include "frontend/spec/options.h"
#include "frontend/spec/shell_words.h"
#include "tests/fuzz/property.h"

using namespace userns;
using namespace userns::frontend;

namespace {

bool same(const std::vector<Setting>& a, const std::vector<Setting>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i].key != b[i].key || a[i].value != b[i].value) return false;
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = as_text(data, size);
  const auto file = ConfigFile::parse(text, "config");
  if (!file) {
    must(file.error().text.starts_with("config:"), "a refusal says where");
    return 0;
  }
  const auto settings = file->settings();
  const auto again = ConfigFile::parse(file->text(), "config");
  must(again && same(again->settings(), settings), "what is printed says the same");
  ConfigFile fresh;
  for (const auto& setting : settings)
    must(fresh.add(setting.key, setting.value).has_value(), "a setting can be set");
  const auto rewritten = ConfigFile::parse(fresh.text(), "config");
  must(rewritten && same(rewritten->settings(), settings), "what is written anew says the same");
  const std::vector<Setting> files[]{settings};
  const auto merged = merge(files);
  must(*split_words(join_words(merged.command)) == merged.command,
       "a command comes apart as it was");
  const std::vector<std::string_view> words(merged.words.begin(), merged.words.end());
  const auto spec = parse_options(words);
  must(spec || !spec.error().text.empty(), "a refusal says why");
  return 0;
}
