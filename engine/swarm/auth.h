/* auth.h: who may do what. A provider proves to the other side who we are, and checks its
 * proof; both proofs cover both nonces and the connection's binding, so neither can be
 * replayed or passed on. Built in: none, and one shared token.
 *
 * The token itself never crosses the wire: a proof is BLAKE3 keyed with a key derived from
 * the token, over (role, binding, nonce of the client, nonce of the server). Two ends that
 * share the token prove it to each other. */
#ifndef AQ_SWARM_AUTH_H
#define AQ_SWARM_AUTH_H

#include "engine/swarm/core.h"
#include "engine/swarm/wire.h"

typedef struct aq_auth_scene {
    bool by_client; /* who proves */
    const uint8_t *binding;
    const uint8_t *client_nonce, *server_nonce; /* AQ_NONCE_SIZE */
} aq_auth_scene;

typedef struct aq_auth_provider {
    const char *name;
    /* Do peers of ours have to prove who they are? */
    bool (*is_required)(const aq_core *core);
    void (*prove)(const aq_core *core, const aq_auth_scene *scene, aq_hash *proof);
    bool (*check)(const aq_core *core, const aq_auth_scene *scene, const aq_hash *proof);
    /* AQ_READ and AQ_WRITE bits of a peer on a folder. */
    unsigned (*rights)(const aq_core *core, bool proven, const aq_root *root);
} aq_auth_provider;

/* Never NULL: chosen by the configuration. */
const aq_auth_provider *aq_auth_provider_of(const aq_core *core);

#endif
