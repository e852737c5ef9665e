// Public keys made by `openssl genrsa` and `openssl ecparam -genkey`, printed by `openssl pkey
// -pubout`.

fn vectors() -> Vec<(serde_json::Value, &'static str)> {
    vec![
        (
            serde_json::json!({
                "kid": "https://kv/keys/k/1",
                "kty": "RSA",
                "n": concat!(
                    "mb0xMMcRCYkRXBnPQA1lbGRON7-9AElmnLP_kN9JvYfKyOFs-nJ0AVaTYxW-Ze7e",
                    "jxKUS1z6GgXEoV_85-vgHjWQJK99a5BOYfbLbG1CPmDpI0mSSDvvNC9R5sIqhVco",
                    "Ru8TPSMQNTS6oEgDQ92Q18pIAAldt8kFgNcQhPoL8WkqjMFggWvAnYU7iW_dlbSi",
                    "eSWBoOjnh7-0T_CdTq5LsgV3zk9MpfGEmtXiVBRVZ7Gl5xLKu3ik3ZBumXucdXk-",
                    "KbShmj2PR4c30R6_jwSDG8-u92Zsi7Fy_mbRWj_picnqgUtpy2U6y8jX9rKG-IAt",
                    "TtHj7w6WtgI7J0ot7P_m2w",
                ),
                "e": "AQAB",
            }),
            "-----BEGIN PUBLIC KEY-----\n\
             MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAmb0xMMcRCYkRXBnPQA1l\n\
             bGRON7+9AElmnLP/kN9JvYfKyOFs+nJ0AVaTYxW+Ze7ejxKUS1z6GgXEoV/85+vg\n\
             HjWQJK99a5BOYfbLbG1CPmDpI0mSSDvvNC9R5sIqhVcoRu8TPSMQNTS6oEgDQ92Q\n\
             18pIAAldt8kFgNcQhPoL8WkqjMFggWvAnYU7iW/dlbSieSWBoOjnh7+0T/CdTq5L\n\
             sgV3zk9MpfGEmtXiVBRVZ7Gl5xLKu3ik3ZBumXucdXk+KbShmj2PR4c30R6/jwSD\n\
             G8+u92Zsi7Fy/mbRWj/picnqgUtpy2U6y8jX9rKG+IAtTtHj7w6WtgI7J0ot7P/m\n\
             2wIDAQAB\n\
             -----END PUBLIC KEY-----\n",
        ),
        (
            serde_json::json!({
                "kid": "https://kv/keys/k/1",
                "kty": "EC",
                "crv": "P-256",
                "x": "Mwo5pH6vmfd6FrITTDYSS2tt5eVM55_lq3vNyP1cli4",
                "y": "vKtccqZwpxg6k7R21QVJuDiFn4vYSyT7LqnUu3WXlFU",
            }),
            "-----BEGIN PUBLIC KEY-----\n\
             MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEMwo5pH6vmfd6FrITTDYSS2tt5eVM\n\
             55/lq3vNyP1cli68q1xypnCnGDqTtHbVBUm4OIWfi9hLJPsuqdS7dZeUVQ==\n\
             -----END PUBLIC KEY-----\n",
        ),
        (
            serde_json::json!({
                "kid": "https://kv/keys/k/1",
                "kty": "EC-HSM",
                "crv": "P-384",
                "x": "TaF9-BIcrfhcyfejRNsAtHs-aq8LjxpAfNKHWRCcnT19Q_JKD2WQYBJwR39dEOaP",
                "y": "DXpBqE_8SfAp91JtIQktDXJtiyyjSxCbCvJ-Gq_nwZhMcaHNkUXGu7YhYEAXc7zW",
            }),
            "-----BEGIN PUBLIC KEY-----\n\
             MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAETaF9+BIcrfhcyfejRNsAtHs+aq8LjxpA\n\
             fNKHWRCcnT19Q/JKD2WQYBJwR39dEOaPDXpBqE/8SfAp91JtIQktDXJtiyyjSxCb\n\
             CvJ+Gq/nwZhMcaHNkUXGu7YhYEAXc7zW\n\
             -----END PUBLIC KEY-----\n",
        ),
        (
            serde_json::json!({
                "kid": "https://kv/keys/k/1",
                "kty": "EC",
                "crv": "P-521",
                "x": concat!(
                    "Af8lsB8whCldXnzmwihk9m5Hef90ZpB5kvCr5ktUtXgiMEjluxytWpmPEIAu6rPL",
                    "JYftOHYG_9bPrSnydN62FFJO",
                ),
                "y": concat!(
                    "AOTmW4Fq9kCR5qy5AmDcVRcrlz8EL7eslJxim2-SGgBAwe1l9SP3hIUa_mkzuw1u",
                    "tF3Srxioi7PpWz-Jmg2frKZT",
                ),
            }),
            "-----BEGIN PUBLIC KEY-----\n\
             MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQB/yWwHzCEKV1efObCKGT2bkd5/3Rm\n\
             kHmS8KvmS1S1eCIwSOW7HK1amY8QgC7qs8slh+04dgb/1s+tKfJ03rYUUk4A5OZb\n\
             gWr2QJHmrLkCYNxVFyuXPwQvt6yUnGKbb5IaAEDB7WX1I/eEhRr+aTO7DW60XdKv\n\
             GKiLs+lbP4maDZ+splM=\n\
             -----END PUBLIC KEY-----\n",
        ),
    ]
}
