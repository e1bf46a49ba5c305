#include "frontend/rootfs/archive/image_text.h"

#include <nlohmann/json.hpp>

namespace userns::frontend {
namespace {

using Json = nlohmann::json;

ImageConfig parse(const Json& json) {
  ImageConfig image;
  for (const auto& variable : json.at("env"))
    image.env.push_back({.name = variable.at(0), .value = variable.at(1)});
  json.at("names_only").get_to(image.names_only);
  json.at("entrypoint").get_to(image.entrypoint);
  json.at("cmd").get_to(image.cmd);
  json.at("cwd").get_to(image.cwd);
  json.at("user").get_to(image.user);
  json.at("stop_signal").get_to(image.stop_signal);
  if (const auto says = json.find("says"); says != json.end()) says->get_to(image.says);
  if (const auto ids = json.find("ids"); ids != json.end())
    image.ids = {.uid = ids->at(0), .gid = ids->at(1), .groups = ids->at(2)};
  return image;
}

}  // namespace

std::string to_text(const ImageConfig& image) {
  auto variables = Json::array();
  for (const auto& variable : image.env)
    variables.push_back(Json::array({variable.name, variable.value}));
  Json json;
  json["env"] = variables;
  json["names_only"] = image.names_only;
  json["entrypoint"] = image.entrypoint;
  json["cmd"] = image.cmd;
  json["cwd"] = image.cwd;
  json["user"] = image.user;
  json["stop_signal"] = image.stop_signal;
  json["says"] = image.says;
  if (image.ids) json["ids"] = Json::array({image.ids->uid, image.ids->gid, image.ids->groups});
  return json.dump(-1, ' ', true, Json::error_handler_t::replace);
}

Result<ImageConfig> image_from_text(std::string_view text) {
  try {
    return parse(Json::parse(text));
  } catch (const Json::exception&) {
    return fail({}, "the record of what an image says is damaged");
  }
}

}  // namespace userns::frontend
