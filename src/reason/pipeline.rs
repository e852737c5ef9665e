//! `KS79x`: `keysluice fetch`, in a pipeline.

use keysluice_plan::reasons;

reasons! { PIPELINE:
    KS790
        "keysluice fetch does not know what to fetch, or where to"
        "name objects (NAME=kv://VAULT/secrets/NAME) or classes (-f FILE), and at least one of \
         --out, --dotenv, --github-env, --github-output and --exec";
    KS791
        "the token of the pipeline is missing or cannot be read"
        "GitHub Actions: set permissions: id-token: write; GitLab: set id_tokens with \
         KEYSLUICE_ID_TOKEN; Azure Pipelines: map SYSTEM_ACCESSTOKEN and name the service \
         connection; elsewhere: --assertion file:PATH or env:NAME";
    KS792
        "the token service of the pipeline did not give a token"
        "see the message; GitHub Actions needs permissions: id-token: write, Azure Pipelines a \
         service connection that the pipeline may use; behind a proxy set HTTPS_PROXY";
    KS793
        "the program keysluice-injector did not run"
        "put keysluice-injector beside keysluice or on the PATH, or name it with --injector";
    KS794
        "a variable cannot have this name, or two objects make one"
        "write another name before the reference (NAME=kv://VAULT/secrets/NAME), or set another \
         objectAlias in the class";
    KS795
        "a value cannot be an environment variable"
        "write the object to a file with --out, or set objectEncoding or encoding to what the \
         value is";
    KS796
        "a file of keysluice fetch cannot be written or read"
        "check the file that the message names, and the rights of the user that runs keysluice; in \
         a `container:` job of GitHub the container needs options: --user with the runner's uid";
    KS797
        "a dotenv file would publish secrets on GitLab"
        "use --out and read the files, or --exec: GitLab does not mask a dotenv, and \
         artifacts:reports:dotenv stores it where every later job and every reader of the \
         artifacts gets it";
    KS798
        "the command behind -- cannot be started"
        "check the name of the command and that it is on the PATH";
    KS799
        "the client id or the tenant id of the pipeline's identity is missing"
        "set --client-id and --tenant-id, or AZURE_CLIENT_ID and AZURE_TENANT_ID";
}
