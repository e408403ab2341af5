/* auth.c: see auth.h. */
#include "engine/swarm/auth.h"
#include "engine/base/bytes.h"
#include "engine/data/blake3.h"

static bool none_is_required(const aq_core *core)
{
    (void)core;
    return false;
}

static void none_prove(const aq_core *core, const aq_auth_scene *scene, aq_hash *proof)
{
    (void)core;
    (void)scene;
    aq_fill(proof, 0, sizeof *proof);
}

static bool none_check(const aq_core *core, const aq_auth_scene *scene,
                       const aq_hash *proof)
{
    (void)core;
    (void)scene;
    (void)proof;
    return true;
}

static unsigned none_rights(const aq_core *core, bool proven, const aq_root *root)
{
    (void)proven;
    return core->config.auth_required ? 0 : root->rights;
}

static const aq_auth_provider none = {"none", none_is_required, none_prove, none_check,
                                      none_rights};

static bool token_is_required(const aq_core *core)
{
    return core->config.auth_required;
}

static void token_prove(const aq_core *core, const aq_auth_scene *scene, aq_hash *proof)
{
    uint8_t text[1 + 32 + 2 * AQ_NONCE_SIZE];
    text[0] = scene->by_client ? 'c' : 's';
    aq_copy(text + 1, scene->binding, 32);
    aq_copy(text + 33, scene->client_nonce, AQ_NONCE_SIZE);
    aq_copy(text + 33 + AQ_NONCE_SIZE, scene->server_nonce, AQ_NONCE_SIZE);
    aq_blake3_keyed(core->token_key.bytes, text, sizeof text, proof);
}

static bool token_check(const aq_core *core, const aq_auth_scene *scene,
                        const aq_hash *proof)
{
    aq_hash expected;
    token_prove(core, scene, &expected);
    return aq_equal_secret(expected.bytes, proof->bytes, sizeof expected.bytes);
}

static unsigned token_rights(const aq_core *core, bool proven, const aq_root *root)
{
    return proven || !core->config.auth_required ? root->rights : 0;
}

static const aq_auth_provider token = {"token", token_is_required, token_prove, token_check,
                                       token_rights};

const aq_auth_provider *aq_auth_provider_of(const aq_core *core)
{
    return core->has_token ? &token : &none;
}
